/**
 * Config templates (Kuscia AppImage, config templates). Two forms, and nothing else is evaluated:
 *
 *   {{.NAME}}               the value, escaped so that it may stand inside a quoted (JSON) string
 *   {{{.NAME.a[0].b}}}      the raw value inside a variable that holds JSON
 *
 * Both forms take a path: `.key`, `[index]`, and `[key=value]` for the first item of a list whose `key` is `value`.
 * A name or path that leads nowhere renders as nothing. Text in braces of any other shape stays as it is written.
 * What is inserted is never read as a template again.
 */

// The two alternatives stop at the next brace, so rendering takes time linear in the template.
const PLACEHOLDER = /\{\{\{([^{}]*)\}\}\}|\{\{([^{}]*)\}\}/g;
const REFERENCE = /^\.([A-Za-z_][A-Za-z0-9_-]*)((?:\.[^.[\]]+|\[[^[\]]+\])*)$/;
const STEP = /\.([^.[\]]+)|\[([^[\]]+)\]/g;

/** Renders a template with variables by name. Never throws. */
export function renderTemplate(template: string, variables: ReadonlyMap<string, string>): string {
  return template.replace(PLACEHOLDER, (written: string, raw: string | undefined, quoted: string | undefined) => {
    const [, name, path] = REFERENCE.exec((raw ?? quoted ?? "").trim()) ?? [];
    if (name === undefined || path === undefined) return written;
    const value = lookUp(variables.get(name), path);
    return raw === undefined ? JSON.stringify(value).slice(1, -1) : value;
  });
}

function lookUp(variable: string | undefined, path: string): string {
  if (variable === undefined || path === "") return variable ?? "";
  let value = parse(variable);
  for (const [, key, selector] of path.matchAll(STEP)) {
    value = key === undefined ? item(value, selector ?? "") : member(value, key);
  }
  if (value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function member(value: unknown, key: string): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined;
}

function item(value: unknown, selector: string): unknown {
  if (!Array.isArray(value)) return undefined;
  const items: readonly unknown[] = value;
  const equals = selector.indexOf("=");
  if (equals < 0) return /^\d+$/.test(selector) ? items[Number(selector)] : undefined;
  const key = selector.slice(0, equals).trim();
  const wanted = selector.slice(equals + 1).trim();
  return items.find((candidate) => {
    const found = member(candidate, key);
    return found !== undefined && (typeof found === "string" ? found : JSON.stringify(found)) === wanted;
  });
}
