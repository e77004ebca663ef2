/** @file Which documents are pages of the guide, and in which order. */

import { readdirSync } from 'node:fs';
import { join, posix } from 'node:path';
import { ROOT } from './paths.ts';

export interface GuidePage {
  /** The document, relative to the repository. */
  readonly source: string;
  /** Its path on the site. */
  readonly page: string;
}

export interface GuideGroup {
  readonly title: string;
  readonly pages: readonly GuidePage[];
}

const GROUPS: readonly (readonly [title: string, sources: readonly string[]])[] = [
  [
    'Guide',
    [
      'README.md',
      'docs/library.md',
      'docs/command-line.md',
      'docs/training.md',
      'docs/evaluating.md',
      'docs/evaluating-samples.md',
      'docs/evaluating-videos.md',
      'docs/serving.md',
      'docs/browser.md',
      'docs/gpus.md',
      'docs/video.md',
      'docs/programs.md',
      'docs/reliability.md',
    ],
  ],
  ['Models', ['docs/models.md', 'docs/results.md', 'docs/hub.md', 'docs/converting.md', 'docs/onnx.md']],
  ['How it works', ['docs/method.md', 'docs/architecture.md', 'docs/performance.md']],
  ['Project', ['docs/development.md', 'docs/dependencies.md', 'CHANGELOG.md']],
];

const NAMES: Readonly<Record<string, string>> = {
  'README.md': 'quick-start',
  'CHANGELOG.md': 'changelog',
};

/** The groups above, with those documents that exist; documents of no group come last. */
export function guide(): readonly GuideGroup[] {
  const documents = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
  const existing = new Set(['README.md', 'CHANGELOG.md', ...documents.map((name) => `docs/${name}`)]);
  const groups = GROUPS.map(([title, sources]) => ({
    title,
    pages: sources.filter((source) => existing.delete(source)).map(pageOf),
  }));
  return existing.size === 0
    ? groups
    : [...groups, { title: 'More', pages: [...existing].sort().map(pageOf) }];
}

function pageOf(source: string): GuidePage {
  return { source, page: `/guide/${NAMES[source] ?? posix.basename(source, '.md')}` };
}
