// The code and the texts of a TypeScript source, for rules about either.

const TOKEN =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|(?<=(?:^|[(,=:[!&|?{};+]|=>|\breturn)\s*)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*|`/gm;

/** The source with the contents of comments, strings, templates and regular expressions blanked out, line by line. */
export function codeOf(source: string): string {
  const blank = (text: string) => text.replace(/[^\n]/g, " ");
  let code = "";
  let from = 0;
  for (const { start, end } of tokensOf(source)) {
    code += source.slice(from, start) + blank(source.slice(start, end));
    from = end;
  }
  return code + source.slice(from);
}

/** The contents of all strings and templates; code inside a template is shown as "…". */
export function textsOf(source: string): string[] {
  return tokensOf(source)
    .map(({ start, end }) => source.slice(start, end))
    .filter(token => /^["'`]/.test(token))
    .map(token => (token.startsWith("`") ? withoutCode(token.slice(1, -1)) : token.slice(1, -1)));
}

/** The comments, strings, templates and regular expressions of a source, in their order. */
function tokensOf(source: string): { start: number; end: number }[] {
  const tokens: { start: number; end: number }[] = [];
  for (let at = 0; at < source.length; ) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(source);
    if (match === null) break;
    at = match.index + match[0].length;
    if (match[0] === "`") at = endOfTemplate(source, at);
    tokens.push({ start: match.index, end: at });
  }
  return tokens;
}

/** The index after the template that starts before `at`, nested templates included. */
function endOfTemplate(source: string, at: number): number {
  for (let i = at; i < source.length; i++) {
    const char = source[i];
    if (char === "\\") i++;
    else if (char === "`") return i + 1;
    else if (char === "$" && source[i + 1] === "{") i = endOfCode(source, i + 2) - 1;
  }
  return source.length;
}

/** The index after the `}` that closes the code of a template which starts at `at`. */
function endOfCode(source: string, at: number): number {
  let depth = 1;
  for (let i = at; i < source.length; i++) {
    const char = source[i];
    if (char === "`") i = endOfTemplate(source, i + 1) - 1;
    else if (char === "{") depth++;
    else if (char === "}" && --depth === 0) return i + 1;
  }
  return source.length;
}

function withoutCode(template: string): string {
  let text = "";
  for (let i = 0; i < template.length; ) {
    if (template[i] === "$" && template[i + 1] === "{") {
      text += "…";
      i = endOfCode(template, i + 2);
    } else text += template[i++];
  }
  return text;
}
