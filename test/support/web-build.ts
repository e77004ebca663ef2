/** Pages built for a test, with the settings of the app. */

import { join } from 'node:path';
import { type InlineConfig, type Rolldown, build as viteBuild } from 'vite';

const root = join(import.meta.dirname, '../..');

/** As for users: vitest's own environment would make it a build for development. */
async function build(config: InlineConfig): ReturnType<typeof viteBuild> {
  const { NODE_ENV } = process.env;
  process.env.NODE_ENV = 'production';
  try {
    return await viteBuild(config);
  } finally {
    process.env.NODE_ENV = NODE_ENV;
  }
}

export interface BuiltPage {
  /** Paths of all modules that went in, and of what each of them imports. */
  readonly modules: readonly Pick<Rolldown.ModuleInfo, 'id' | 'importedIds' | 'dynamicallyImportedIds'>[];
  readonly chunks: readonly Rolldown.OutputChunk[];
}

/** Build a module and what it imports. @param entry path from the root of the repository. */
export async function buildModule(entry: string, outDir: string): Promise<BuiltPage> {
  const modules: Rolldown.ModuleInfo[] = [];
  const output = await build({
    configFile: join(root, 'web/vite.config.ts'),
    logLevel: 'error',
    plugins: [{ name: 'modules', moduleParsed: (module) => void modules.push(module) }],
    build: {
      outDir,
      rolldownOptions: {
        input: { page: join(root, entry) },
        output: { entryFileNames: '[name].js' },
        preserveEntrySignatures: 'strict',
      },
    },
  });
  const outputs = [output].flat().flatMap((part) => ('output' in part ? part.output : []));
  return { modules, chunks: outputs.filter((part) => part.type === 'chunk') };
}

/** Build the app itself. */
export async function buildApp(outDir: string): Promise<void> {
  await build({ configFile: join(root, 'web/vite.config.ts'), logLevel: 'error', build: { outDir } });
}
