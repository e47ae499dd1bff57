const assert = require("node:assert");
const { test } = require("node:test");
const { render, topWords } = require("../src/text");

test("headings become HTML", () => {
  assert.match(render("# Title"), /<h1[^>]*>Title<\/h1>/);
});

test("ties are in alphabetical order", () => {
  assert.deepStrictEqual(topWords("b a b a c", 2), [
    { word: "a", count: 2 },
    { word: "b", count: 2 },
  ]);
});
