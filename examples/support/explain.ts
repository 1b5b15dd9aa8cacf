/** An error as one line for a person, with what can be done about it where the error says so. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const remedy = "remedy" in error && typeof error.remedy === "string" ? error.remedy : "";
  const text = error.message.includes(remedy) ? error.message : `${error.message}. ${remedy}`;
  return text.replaceAll(/\s*\n\s*/g, " ");
}
