/** @file The worker thread of the tests of `src/remote/node.ts`. */

import { register } from 'tsx/esm/api';

register();
const { serveWorkerThread } = await import('../../src/remote/node.ts');
const { testHandlers } = await import('./remote-calls.ts');
serveWorkerThread(testHandlers());
