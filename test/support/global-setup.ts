/** What all test files share is made once here. */
export default function setup(): void {}
