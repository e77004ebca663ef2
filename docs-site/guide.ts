/** @file Which documents are pages of the guide, and in which order. */

import { readdirSync } from 'node:fs';
import { join, posix } from 'node:path';
import { ROOT } from './paths.ts';

export interface GuidePage {
  /** The document, relative to the repository. */
  readonly source: string;
  /** Its path on the site. */
  readonly page: string;
  /** Its name in the sidebar. */
  readonly title: string;
}

export interface GuideGroup {
  readonly title: string;
  readonly pages: readonly GuidePage[];
}

type Titles = Readonly<Record<string, string>>;

/** Names of the documents in the sidebar, by group. */
const GROUPS: Readonly<Record<string, Titles>> = {
  Guide: {
    'README.md': 'Quick start',
    'docs/library.md': 'Library',
    'docs/command-line.md': 'Command line',
    'docs/training.md': 'Train',
    'docs/evaluating.md': 'Evaluate',
    'docs/serving.md': 'Serve',
    'docs/browser.md': 'Browser',
    'docs/distributed.md': 'Distributed',
    'docs/gpus.md': 'GPUs',
    'docs/cookbook.md': 'Cookbook',
  },
  'In depth': {
    'docs/sampling.md': 'Sampling options',
    'docs/tuning.md': 'Tuned solvers',
    'docs/attention.md': 'Attention between blocks',
    'docs/studies.md': 'Studies',
    'docs/video.md': 'Videos',
    'docs/evaluating-samples.md': 'Samples to evaluate',
    'docs/evaluating-videos.md': 'Evaluate videos',
    'docs/programs.md': 'Commands from a program',
    'docs/reliability.md': 'Reliability',
  },
  Models: {
    'docs/models.md': 'Bundled models',
    'docs/results.md': 'Results',
    'docs/hub.md': 'Hugging Face Hub',
    'docs/converting.md': 'Convert',
    'docs/onnx.md': 'ONNX',
  },
  'How it works': {
    'docs/method.md': 'The method in short',
    'docs/architecture.md': 'Model and code',
    'docs/performance.md': 'Performance',
  },
  Project: {
    'docs/development.md': 'Development',
    'docs/dependencies.md': 'Dependencies',
    'CHANGELOG.md': 'Changelog',
  },
};

const NAMES: Titles = {
  'README.md': 'quick-start',
  'CHANGELOG.md': 'changelog',
};

/** The groups above, with those documents that exist; documents of no group come last, by file name. */
export function guide(): readonly GuideGroup[] {
  const documents = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
  const existing = new Set(['README.md', 'CHANGELOG.md', ...documents.map((name) => `docs/${name}`)]);
  const groups = Object.entries(GROUPS).map(([title, titles]) => ({
    title,
    pages: Object.keys(titles)
      .filter((source) => existing.delete(source))
      .map((source) => pageOf(source, titles)),
  }));
  const more = [...existing].sort().map((source) => pageOf(source));
  return more.length === 0 ? groups : [...groups, { title: 'More', pages: more }];
}

function pageOf(source: string, titles: Titles = {}): GuidePage {
  const name = posix.basename(source, '.md');
  return { source, page: `/guide/${NAMES[source] ?? name}`, title: titles[source] ?? name };
}
