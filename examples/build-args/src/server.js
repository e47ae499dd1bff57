const http = require("node:http");
const ms = require("ms");
const build = require("./build.json");

// Colours are a development dependency: there in one kind of image, absent from the other.
let paint = (text) => text;
try {
  paint = require("picocolors").createColors(true).green;
} catch {}

function report() {
  const major = build.node.split(".")[0];
  return paint(`${build.environment} build for node ${major}, cached for ${ms(3600000)}`);
}

if (process.argv.includes("--check")) {
  console.log(report());
} else {
  const server = http.createServer((request, response) => response.end(report()));
  server.listen(Number(process.env.PORT ?? 3000));
  process.on("SIGTERM", () => server.close());
}
