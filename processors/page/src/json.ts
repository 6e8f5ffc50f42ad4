/** JSON whose integers may be beyond 2^53: they are read as text and written from bigint. Pure. */

/** An integer as it is read: text when it may be too large for a number. */
export type Integer = number | string;

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const LARGE = /^-?\d{16,}$/;

export function read(text: string): unknown {
  return JSON.parse(text.replace(STRING_OR_NUMBER, (found) => (LARGE.test(found) ? `"${found}"` : found)));
}

export function write(value: unknown): string {
  // A mark that nobody can type, so that only bigint lose their quotes.
  const text = JSON.stringify(value, (_, held) => (typeof held === "bigint" ? `\u0000${held}` : held));
  return text.replace(/"\\u0000(-?\d+)"/g, "$1");
}
