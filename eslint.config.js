import tseslint from "typescript-eslint";

const pure = [
  "Date",
  "process",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "queueMicrotask",
  "crypto",
  "performance",
  "fetch",
  "console",
  "globalThis",
];

/** `process.env`, by whatever way a reader of it would write it. */
const environment = [
  "MemberExpression:matches([object.name='process'], [object.property.name='process']):matches([property.name='env'], [property.value='env'])",
  "VariableDeclarator[init.name='process'] > ObjectPattern > Property[key.name='env']",
  "ImportDeclaration[source.value=/^(node:)?process$/]",
];

export default tseslint.config(
  { ignores: ["dist/", "coverage/", "node_modules/", ".holdpoint/", "src/client/api.gen.ts"] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // Numbers and booleans in messages to people are meant.
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true },
      ],
      // A method that satisfies an asynchronous port may have nothing to wait for (the in-memory adapter).
      "@typescript-eslint/require-await": "off",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "@typescript-eslint/no-non-null-assertion": "error",
      // A switch over a union must name every member or say what the others do.
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
    },
  },
  {
    // A newcomer reads a function on one screen and a file in one sitting.
    files: ["src/**"],
    rules: {
      "max-lines": ["error", { max: 400 }],
      "max-lines-per-function": ["error", { max: 60, skipBlankLines: true, skipComments: true }],
    },
  },
  {
    // The engine decides from values alone: time, ids and randomness are arguments (docs/architecture.md).
    files: ["src/engine/**"],
    rules: {
      "no-restricted-globals": [
        "error",
        ...pure.map((name) => ({ name, message: "The engine is pure: take it as an argument." })),
      ],
      "no-restricted-properties": [
        "error",
        { object: "Math", property: "random", message: "The engine is pure: take it as an argument." },
      ],
    },
  },
  {
    // One reader of the environment, so that every setting is validated and documented.
    files: ["src/**"],
    ignores: ["src/config.ts"],
    rules: {
      "no-restricted-syntax": [
        "error",
        ...environment.map((selector) => ({
          selector,
          message: "Only src/config.ts reads process.env: add a setting there.",
        })),
      ],
    },
  },
  { files: ["**/*.{js,mjs,cjs}"], ...tseslint.configs.disableTypeChecked },
  {
    files: ["test/**"],
    rules: {
      "@typescript-eslint/no-unsafe-assignment": "off",
      "@typescript-eslint/no-unsafe-member-access": "off",
      "@typescript-eslint/no-unsafe-argument": "off",
      "@typescript-eslint/no-unsafe-call": "off",
      "@typescript-eslint/no-unsafe-return": "off",
      "@typescript-eslint/no-unnecessary-condition": "off",
    },
  },
  {
    // Attacks hold things in shapes that no type would let them.
    files: ["test/attacks/**"],
    rules: {
      "@typescript-eslint/no-explicit-any": "off",
      "@typescript-eslint/no-base-to-string": "off",
      "@typescript-eslint/no-meaningless-void-operator": "off",
      "@typescript-eslint/use-unknown-in-catch-callback-variable": "off",
    },
  },
);
