// A build step without tools, so that it works with runtime dependencies alone: copies the sources,
// and writes what only the build knows where the program can read it.
const fs = require("node:fs");

const environment = process.env.BUILD_ENV || "production";
fs.cpSync("src", "dist", { recursive: true });
fs.writeFileSync("dist/build.json", JSON.stringify({ environment, node: process.version }) + "\n");
console.log(`built for ${environment}`);
