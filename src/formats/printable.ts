/** @file Text from untrusted files, made fit for a one-line message. */

/** At most 80 characters, with control and other unusual characters replaced. */
export function printable(text: string): string {
  const short = text.length > 80 ? `${text.slice(0, 77)}...` : text;
  return short.replace(/[^\x20-\x7e]/g, '?');
}
