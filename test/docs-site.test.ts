import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { siteFaults } from '../docs-site/check-site.ts';
import { diagrams } from '../docs-site/diagrams/diagrams.ts';
import { inlineSvg } from '../docs-site/diagrams/svg.ts';
import { replaceImages, replaceLinks } from '../docs-site/links.ts';

describe('siteFaults', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'acdit-site-'));
    writeFileSync(join(folder, 'other.html'), '<h2 id="there">There</h2>');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const faultsOf = (html: string, base?: string) => {
    writeFileSync(join(folder, 'index.html'), html);
    return siteFaults(folder, base);
  };

  it('are none where links and anchors are there', () => {
    expect(
      faultsOf('<a href="/other.html#there">a</a><a href="./other#there">b</a><a id="x" href="#x">c</a>'),
    ).toEqual([]);
    expect(faultsOf('<a href="/docs/other.html#there">a</a>', '/docs/')).toEqual([]);
    expect(faultsOf('<a href="https://example.org/anything#at-all">a</a>')).toEqual([]);
  });

  it('name a missing page, a missing anchor, and what is loaded from elsewhere', () => {
    expect(faultsOf('<a href="/gone.html">a</a>')).toEqual([
      'index.html: links to /gone.html, which is missing',
    ]);
    expect(faultsOf('<a href="/other.html#gone">a</a>')).toEqual([
      'index.html: links to /other.html#gone, but other.html has no such anchor',
    ]);
    expect(faultsOf('<script src="https://example.org/a.js"></script>')).toEqual([
      'index.html: loads https://example.org/a.js from elsewhere',
    ]);
    expect(faultsOf('<link rel="stylesheet" href="//example.org/a.css">')).toEqual([
      'index.html: loads //example.org/a.css from elsewhere',
    ]);
  });
});

describe('links of documents', () => {
  it('are replaced outside of code', () => {
    const markdown = ['[a](x.md) and', '```', '[b](x.md)', '```', '![long', 'alt](y.png)'].join('\n');
    const lines: number[] = [];
    const replaced = replaceLinks(markdown, (target, line) => {
      lines.push(line);
      return target.toUpperCase();
    });
    expect(replaced).toBe(['[a](X.MD) and', '```', '[b](x.md)', '```', '![long', 'alt](Y.PNG)'].join('\n'));
    expect(lines).toEqual([1, 6]);
  });

  it('of images come with their descriptions', () => {
    expect(
      replaceImages('![two\nlines](y.svg) ![b](z.png)', (alt, target) =>
        target === 'y.svg' ? alt : undefined,
      ),
    ).toBe('two lines ![b](z.png)');
  });
});

describe('diagrams', () => {
  it.each([...diagrams()])('%s in docs/images is as this code draws it', (name, svg) => {
    // If this fails, `npm run docs` draws them anew.
    expect(readFileSync(new URL(`../docs/images/method/${name}`, import.meta.url), 'utf8')).toBe(svg);
  });

  it('of SCAM has a tile for each block, and none between noised blocks', () => {
    const outlines = diagrams()
      .get('scam.svg')!
      .match(/fill="none" stroke="var\(--diagram-outline\)"/g)!;
    // Clean blocks 3 ranges of keys, noised ones 1 + 3 * 2; and one in the legend.
    expect(outlines.length).toBe(3 + 7 + 1);
  });

  it('of the cache shows each noised block and what was cached before it', () => {
    const words = diagrams()
      .get('cache.svg')!
      .match(/(?<=>)(clean|noised) \d|[\d,]+ tokens cached/g);
    expect(words).toEqual([
      ...['noised 0', '0 tokens cached'],
      ...['clean 0', 'noised 1', '256 tokens cached'],
      ...['clean 0', 'clean 1', 'noised 2', '512 tokens cached'],
      ...['clean 0', 'clean 1', 'clean 2', 'noised 3', '768 tokens cached'],
    ]);
  });

  it('in a page have a description instead of colours of their own', () => {
    const inline = inlineSvg(diagrams().get('scam.svg')!, 'a "staircase"');
    expect(inline).toContain('aria-label="a &quot;staircase&quot;"');
    expect(inline).not.toMatch(/<style>|<title>|\n\n/);
  });
});
