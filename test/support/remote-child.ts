/** @file The child process of the tests of `src/remote/node.ts`. */

import { serveChild } from '../../src/remote/node.ts';
import { testHandlers } from './remote-calls.ts';

serveChild(testHandlers());
