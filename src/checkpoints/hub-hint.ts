/** @file What to do with a name of the Hugging Face Hub where a path is expected. */

/** `owner/repo` and what may follow it, a released model, or an address. */
const HUB_NAME =
  /^(?:(?!models\/|datasets\/|spaces\/)\w[\w.-]*\/\w[\w.@%/-]*|ACDiT-\w+-\w+(?:\.pt)?|[a-z]+:\/\/.*)$/i;

/**
 * Returns the end of a message about a path that does not exist: if it may be a name of the hub, how that is fetched.
 * @param fetcher the function of `acdit/hub` that fetches it
 */
export function hubHint(path: string, fetcher: 'fetchModel' | 'fetchAutoencoder'): string {
  if (!HUB_NAME.test(path)) return '';
  return `; a name of the Hugging Face Hub is not a path: fetch it first, with ${fetcher} of acdit/hub, and give the path that it returns`;
}
