const assert = require("node:assert");
const { test } = require("node:test");
const { frame } = require("../src/frame");

test("a frame is as wide as its text", () => {
  assert.strictEqual(frame("ab"), "+----+\n| ab |\n+----+");
});
