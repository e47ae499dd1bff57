import { readFileSync } from "node:fs";
import { convert } from "./convert";

export { convert };

if (require.main === module) {
  try {
    for (const line of convert(readFileSync(process.argv[2] ?? 0, "utf8"))) console.log(line);
  } catch (error) {
    console.error(`yaml-to-json: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}
