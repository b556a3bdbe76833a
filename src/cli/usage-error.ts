/** A command line that makes no sense; its message is all that is printed. */
export class UsageError extends Error {}
