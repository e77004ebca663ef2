/** @file Prepares a process for mutants, whose promises may fail when nobody waits for them any more. */

import fc from 'fast-check';

process.removeAllListeners('unhandledRejection');
process.on('unhandledRejection', () => {});
fc.configureGlobal({ endOnFailure: true, seed: 17 });
