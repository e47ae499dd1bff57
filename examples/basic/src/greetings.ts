const templates: Record<string, string> = {
  en: "Hello, {{name}}!",
  fr: "Bonjour, {{name}} !",
  es: "¡Hola, {{name}}!",
};

export function template(language: string): string {
  return templates[language] ?? templates.en;
}
