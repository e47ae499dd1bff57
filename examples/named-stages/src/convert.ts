import { parseAllDocuments } from "yaml";

// Every document of the stream as one line of JSON. A mistake is an error with its line, not a guess.
export function convert(text: string): string[] {
  return parseAllDocuments(text).map((document) => {
    if (document.errors.length > 0) throw document.errors[0];
    return JSON.stringify(document.toJS());
  });
}
