/** @file Links of Markdown documents. */

/**
 * Replace the targets of a document's links and images, outside of code.
 *
 * @param replace gets the target and the number of its line, from 1
 */
export function replaceLinks(markdown: string, replace: (target: string, line: number) => string): string {
  return outsideOfFences(markdown, (line, number) =>
    line.replace(/(?<=\]\()[^()\s]+(?=\))/g, (target) => replace(target, number)),
  );
}

/**
 * Replace images, outside of code. Their descriptions may go over several lines.
 *
 * @param replace gets description and target; undefined leaves the image as it is
 */
export function replaceImages(
  markdown: string,
  replace: (alt: string, target: string) => string | undefined,
): string {
  return markdown.replace(/!\[([^\]]*)\]\(([^()\s]+)\)/g, (image, alt: string, target: string) => {
    return replace(alt.replace(/\s+/g, ' '), target) ?? image;
  });
}

function outsideOfFences(markdown: string, change: (line: string, number: number) => string): string {
  let fence: string | undefined;
  return markdown
    .split('\n')
    .map((line, index) => {
      const mark = /^\s*(```+|~~~+)/.exec(line)?.[1];
      if (mark && fence === undefined) fence = mark;
      else if (mark && fence && mark.startsWith(fence)) fence = undefined;
      else if (fence === undefined) return change(line, index + 1);
      return line;
    })
    .join('\n');
}
