/**
 * Which media type an answer gets. The v2 type where the client names it, since some clients read `data` only then; JSON
 * where it takes that; nothing where it takes neither.
 */

export const V2_TYPE = "application/vnd.apache.kylin-v2+json";
export const JSON_TYPE = "application/json";
export type MediaType = typeof V2_TYPE | typeof JSON_TYPE;

/** Undefined where the header allows neither type. No header, or an empty one, allows everything. */
export function mediaTypeFor(accept: string | null): MediaType | undefined {
  const ranges = rangesOf(accept ?? "");
  if (ranges.length === 0) return JSON_TYPE;
  const v2 = ranges.find((range) => range.type === V2_TYPE)?.quality;
  const json = qualityOf(ranges, JSON_TYPE);
  if (v2 !== undefined && v2 > 0 && v2 >= json) return V2_TYPE;
  if (json > 0) return JSON_TYPE;
  return undefined;
}

interface MediaRange {
  readonly type: string;
  readonly quality: number;
}

function rangesOf(accept: string): readonly MediaRange[] {
  return accept
    .split(",")
    .map((range) => {
      const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
      const weight = parameters.find((parameter) => parameter.startsWith("q="));
      const quality = weight === undefined ? 1 : Number(weight.slice(2));
      return { type, quality: Number.isNaN(quality) ? 0 : quality };
    })
    .filter(({ type }) => type !== "");
}

/** The most exact range that covers the type decides. */
function qualityOf(ranges: readonly MediaRange[], type: string): number {
  const [family = ""] = type.split("/");
  for (const name of [type, `${family}/*`, "*/*"]) {
    const range = ranges.find((each) => each.type === name);
    if (range) return range.quality;
  }
  return 0;
}
