import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { basename, join } from "node:path";
import mime from "mime";

const root = join(__dirname, "..", "public");

// One flat folder of static files, and one endpoint.
async function answer(url: string): Promise<{ type: string; body: string | Buffer }> {
  if (url === "/api/time") return { type: "text/plain", body: new Date().toISOString() };
  const name = basename(url) || "index.html";
  return { type: mime.getType(name) ?? "application/octet-stream",
           body: await readFile(join(root, name)) };
}

if (process.argv.includes("--check")) {
  answer("/").then(({ type, body }) => console.log(type, String(body).includes("page.js")));
} else {
  const server = createServer((request, response) => {
    answer(request.url ?? "/").then(
      ({ type, body }) => response.setHeader("content-type", type).end(body),
      () => { response.statusCode = 404; response.end("not found\n"); });
  });
  server.listen(Number(process.env.PORT ?? 3000));
  process.on("SIGTERM", () => server.close());
}
