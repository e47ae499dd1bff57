import { createServer } from "node:http";
import mustache from "mustache";
import { template } from "./greetings";

function greet(url: string): string {
  const query = new URL(url, "http://localhost").searchParams;
  const language = query.get("lang") ?? "en";
  return mustache.render(template(language), { name: query.get("name") ?? "world" });
}

if (process.argv.includes("--check")) {
  console.log(greet("/?lang=fr&name=shale"));
} else {
  const server = createServer((request, response) => response.end(greet(request.url ?? "/")));
  server.listen(Number(process.env.PORT ?? 3000));
  process.on("SIGTERM", () => server.close());
}
