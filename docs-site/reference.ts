/** @file The API reference: a page for each subpath of the package, made from its types and TSDoc. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Application, Comment, OptionDefaults, type TypeDocOptions } from 'typedoc';
import type { PluginOptions } from 'typedoc-plugin-markdown';
import { PAGES, ROOT } from './paths.ts';

const FOLDER = join(PAGES, 'api');
/** Begins what typedoc takes for the address of a source file. */
const NO_LINK = 'place:';

export interface Subpath {
  /** As it is imported, such as `acdit/graph`. */
  readonly name: string;
  /** Its source, relative to the repository. */
  readonly source: string;
  /** Address of its page on the site. */
  readonly page: string;
}

/** The subpaths of the package with types, as `package.json` lists them. */
export function subpaths(): readonly Subpath[] {
  const manifest: { exports: Record<string, string | { types?: string }> } = JSON.parse(
    readFileSync(join(ROOT, 'package.json'), 'utf8'),
  );
  return Object.entries(manifest.exports).flatMap(([path, target]) => {
    if (typeof target === 'string' || !target.types) return [];
    const name = `acdit${path.slice(1)}`;
    const source = target.types.replace(/^\.\/dist\//, 'src/').replace(/\.d\.ts$/, '.ts');
    return [{ name, source, page: `/api/${name}` }];
  });
}

/**
 * Write the reference into {@link PAGES}.
 *
 * @param strict fail if there are faults, instead of only reporting them
 * @throws Error if a link in a comment is broken, an exported name has no description, or a type that the API
 * mentions is not exported
 */
export async function writeReference({ strict }: { readonly strict: boolean }): Promise<void> {
  const modules = subpaths();
  const options: TypeDocOptions & Partial<PluginOptions> = {
    // What `acdit` and a subpath both export is described with the subpath: that comes first.
    entryPoints: modules.map(({ source }) => join(ROOT, source)).reverse(),
    tsconfig: join(ROOT, 'tsconfig.build.json'),
    skipErrorChecking: true,
    plugin: ['typedoc-plugin-markdown'],
    name: 'acdit',
    readme: 'none',
    router: 'module',
    excludeInternal: true,
    excludePrivate: true,
    excludeExternals: true,
    disableGit: true,
    sourceLinkTemplate: `${NO_LINK}{path}`,
    basePath: ROOT,
    out: FOLDER,
    intentionallyNotExported: [
      ...['DATASET_KINDS', 'schema', 'embedderShapes', 'finalShapes', 'StoredLayerWeight'],
      ...['Projection', 'Field', 'Answer', 'Mortal', 'Environment', 'constructors'],
      ...['FILE_FORMATS', 'MeasuredErrors', 'AcditParts', 'SampleParts', 'RequestOptions'],
    ],
    blockTags: [...OptionDefaults.blockTags, '@file'],
    hidePageHeader: true,
    hideBreadcrumbs: true,
    entryFileName: 'index',
    useCodeBlocks: true,
    useHTMLAnchors: true,
    tableColumnSettings: { hideSources: true, hideModifiers: true },
    expandObjects: true,
    parametersFormat: 'table',
    interfacePropertiesFormat: 'table',
    typeDeclarationFormat: 'table',
    sanitizeComments: true,
    validation: { notExported: true, invalidLink: true, invalidPath: true, notDocumented: true },
    requiredToBeDocumented: ['Function', 'Class', 'Interface', 'TypeAlias', 'Variable'],
    logLevel: 'Warn',
  };
  const app = await Application.bootstrapWithPlugins(options as Partial<TypeDocOptions>);
  const project = await app.convert();
  if (!project) throw new Error('The API reference could not be built: see the messages above');
  for (const module of project.children ?? []) {
    const source = module.sources?.[0]?.fileName;
    const subpath = modules.find((candidate) => candidate.source === source);
    if (!subpath) throw new Error(`${source} is documented, but is not a subpath of package.json`);
    module.name = subpath.name;
    module.comment = new Comment([{ kind: 'text', text: fileComment(join(ROOT, subpath.source)) }]);
  }
  app.validate(project);
  if (strict && (app.logger.hasErrors() || app.logger.hasWarnings())) {
    throw new Error('The API reference has the faults named above');
  }
  await app.generateOutputs(project);
  for (const file of readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })) {
    if (file.endsWith('.md')) namePlaces(join(FOLDER, file));
  }
}

/** What a file's first comment says, after `@file`; TypeDoc knows no such tag. */
function fileComment(file: string): string {
  const comment = /^\/\*\*(.*?)\*\//s.exec(readFileSync(file, 'utf8'))?.[1];
  if (!comment?.includes('@file'))
    throw new Error(`${file}: expected to begin with a comment /** @file ... */`);
  return comment
    .replace(/^ *\* ?/gm, '')
    .replace('@file', '')
    .replace('@example', '')
    .trim();
}

/** The repository has no URL, so a definition's place is shown without a link. */
function namePlaces(file: string): void {
  const markdown = readFileSync(file, 'utf8');
  writeFileSync(file, markdown.replace(new RegExp(`\\[([^\\]]*)\\]\\(${NO_LINK}[^)]*\\)`, 'g'), '`$1`'));
}
