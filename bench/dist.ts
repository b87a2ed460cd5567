/**
 * The compiled product. What is measured is what users run: the files in dist/, and not the sources as tsx translates
 * them for the benchmark's own parts.
 */

export async function fromDist<Module>(path: string): Promise<Module> {
  // The type of the source, which dist/ is the translation of.
  return (await import(new URL(`../dist/src/${path}`, import.meta.url).href)) as Module;
}
