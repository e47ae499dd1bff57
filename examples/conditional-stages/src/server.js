const fs = require("node:fs");
const http = require("node:http");
const { frame } = require("./frame");

const banner = () => frame(fs.readFileSync("/etc/banner", "utf8").trim());

if (process.argv.includes("--check")) {
  console.log(banner());
} else {
  const server = http.createServer((request, response) => response.end(banner() + "\n"));
  server.listen(Number(process.env.PORT ?? 3000));
  process.on("SIGTERM", () => server.close());
}
