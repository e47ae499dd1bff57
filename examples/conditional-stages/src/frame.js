function frame(text) {
  const bar = "+" + "-".repeat(text.length + 2) + "+";
  return `${bar}\n| ${text} |\n${bar}`;
}
module.exports = { frame };
