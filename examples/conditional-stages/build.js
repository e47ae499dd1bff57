// Joins the sources into one file, the way a bundler would, for a program without dependencies.
const fs = require("node:fs");

const [frame, server] = ["frame", "server"].map((name) => fs.readFileSync(`src/${name}.js`, "utf8"));
fs.mkdirSync("dist", { recursive: true });
fs.writeFileSync("dist/server.js", frame.replace(/^module\.exports.*\n/m, "") +
  server.replace(/^const .*require\("\.\/frame"\).*\n/m, ""));
