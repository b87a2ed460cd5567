/** Kubernetes quantities, e.g. `500m`, `2`, `1.5`, `1Gi`, `100M`, `1e3` (apimachinery, package api/resource). */

const SUFFIXES: ReadonlyMap<string, number> = new Map([
  ["n", 1e-9],
  ["u", 1e-6],
  ["m", 1e-3],
  ["", 1],
  ["k", 1e3],
  ["M", 1e6],
  ["G", 1e9],
  ["T", 1e12],
  ["P", 1e15],
  ["E", 1e18],
  ["Ki", 2 ** 10],
  ["Mi", 2 ** 20],
  ["Gi", 2 ** 30],
  ["Ti", 2 ** 40],
  ["Pi", 2 ** 50],
  ["Ei", 2 ** 60],
]);

const QUANTITY = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+)|([A-Za-z]*))$/;

/** The number that a quantity stands for; negative ones are numbers too. Undefined where the text is not a quantity. */
export function parseQuantity(text: string): number | undefined {
  const [, digits, exponent, suffix] = QUANTITY.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const value = exponent === undefined ? scale(digits, suffix ?? "") : Number(`${digits}e${exponent}`);
  return value !== undefined && Number.isFinite(value) ? value : undefined;
}

function scale(digits: string, suffix: string): number | undefined {
  const factor = SUFFIXES.get(suffix);
  if (factor === undefined) return undefined;
  // Dividing by a power of ten is exact where multiplying by its inverse is not: 300m is 0.3, not 0.30000000000000004.
  return factor < 1 ? Number(digits) / Math.round(1 / factor) : Number(digits) * factor;
}
