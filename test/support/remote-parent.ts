/** @file A process that starts the child of `remote-child.ts`, prints its id while it works, and waits to be killed. */

import { startChild } from '../../src/remote/node.ts';
import { connect } from '../../src/remote/remote.ts';
import type { TestCalls } from './remote-calls.ts';

const child = startChild(new URL('remote-child.ts', import.meta.url), 'the child');
const remote = connect<TestCalls>(child);
for await (const count of remote.stream('count', undefined)) {
  if (count === 10) process.stdout.write(`${child.pid}\n`);
}
