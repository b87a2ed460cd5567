/** Medians and percentiles. */

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** The value that `part` of the values do not exceed, between neighbours by proportion. NaN of none. */
export function percentile(values: readonly number[] | Float64Array, part: number): number {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length === 0) return Number.NaN;
  const at = (sorted.length - 1) * part;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}
