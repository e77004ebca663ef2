/** @file A hint for users who give a name on the Hugging Face Hub where a path is expected. */

/** `owner/repo` with anything after it, a released model, or a URL. */
const HUB_NAME =
  /^(?:(?!models\/|datasets\/|spaces\/)\w[\w.-]*\/\w[\w.@%/-]*|ACDiT-\w+-\w+(?:\.pt)?|[a-z]+:\/\/.*)$/i;

/**
 * Returns the end of a message about a path that does not exist: how to fetch it, if it may be a name on the hub.
 * @param fetcher the function of `acdit/hub` that fetches it
 */
export function hubHint(path: string, fetcher: 'fetchModel' | 'fetchAutoencoder'): string {
  if (!HUB_NAME.test(path)) return '';
  return `; a name of the Hugging Face Hub is not a path: fetch it first, with ${fetcher} of acdit/hub, and give the path that it returns`;
}
