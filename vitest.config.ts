import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // ONNX Runtime aborts when a worker thread that used it ends early: one process a file instead.
    pool: 'forks',
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
