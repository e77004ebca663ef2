import { defineConfig } from 'vitest/config';

// Stryker (npm run mutation) asks for threads on Vitest's command line, which would win over `pool` below.
const mutation = process.env.STRYKER_MUTATOR_WORKER
  ? [
      {
        name: 'one process per mutant',
        configureVitest: ({ project }: { project: { config: object } }): void => {
          Object.assign(project.config, { pool: 'forks', isolate: false });
        },
      },
    ]
  : [];

export default defineConfig({
  plugins: mutation,
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // ONNX Runtime aborts when a worker thread that used it ends early: one process per file instead.
    pool: 'forks',
    // No test may reach the network, nor a cache outside the repository.
    env: { HF_ENDPOINT: 'http://127.0.0.1:1', HF_HOME: 'no-such-folder' },
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
