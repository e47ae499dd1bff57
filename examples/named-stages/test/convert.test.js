const assert = require("node:assert");
const { test } = require("node:test");
const { convert } = require("../dist/main.js");

test("every document is a line", () => {
  assert.deepStrictEqual(convert("a: 1\n---\n[b, c]\n"), ['{"a":1}', '["b","c"]']);
});

test("a mistake is an error", () => {
  assert.throws(() => convert("a: [1"), /line 1/);
});
