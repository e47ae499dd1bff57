// What the service computes, apart from HTTP so that tests can call it.
const _ = require("lodash");
const { marked } = require("marked");

function render(markdown) {
  return marked.parse(markdown, { async: false });
}

// The `limit` most frequent words, most frequent first, ties in alphabetical order.
function topWords(markdown, limit = 10) {
  const counts = _.countBy(_.words(markdown.toLowerCase(), /[\p{L}\p{N}']+/gu));
  const pairs = _.map(counts, (count, word) => ({ word, count }));
  return _.take(_.orderBy(pairs, ["count", "word"], ["desc", "asc"]), limit);
}

module.exports = { render, topWords };
