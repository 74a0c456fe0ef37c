'use strict';
const { assert, create, docker, frames, image, split, start, statusIs, test, text } = require('./support');
const { PassThrough } = require('node:stream');

test('run streams the output and gives the code', async () => {
  const out = new PassThrough();
  const err = new PassThrough();
  const said = Promise.all([text(out), text(err)]);
  const [result, container] = await docker.run(image, ['/payload', 'both', '2'], [out, err], {
    Tty: false,
    HostConfig: { NetworkMode: 'none' },
  });
  out.end();
  err.end();
  assert.strictEqual(result.StatusCode, 0);
  await container.remove();
  assert.deepStrictEqual(await said, ['out 1\nout 2\n', 'err 1\nerr 2\n']);
});

test('states follow the verbs', async () => {
  const container = await create(['/payload', 'pause']);
  const states = [];
  const steps = ['start', 'pause', 'unpause', 'stop', 'start', 'restart', 'kill'];
  for (const step of steps) {
    await container[step](step === 'stop' || step === 'restart' ? { t: 5 } : {});
    states.push((await container.inspect()).State.Status);
  }
  assert.deepStrictEqual(states, ['running', 'paused', 'running', 'exited', 'running', 'running', 'exited']);
  assert.strictEqual((await container.inspect()).State.ExitCode, 137);
});

test('wait gives the code, also when asked before the start', async () => {
  const container = await create(['/payload', 'exit', '7']);
  const waiting = container.wait({ condition: 'next-exit' });
  await container.start();
  assert.strictEqual((await waiting).StatusCode, 7);
  assert.strictEqual((await container.wait()).StatusCode, 7);
});

test('start of a running and stop of a stopped one are 304', async () => {
  const container = await start(['/payload', 'pause']);
  await assert.rejects(container.start(), statusIs(304));
  await container.stop({ t: 5 });
  await assert.rejects(container.stop(), statusIs(304));
});

test('errors carry their status', async () => {
  await assert.rejects(docker.getContainer('nosuch').inspect(), statusIs(404));
  await assert.rejects(docker.createContainer({ Image: 'nosuch' }), statusIs(404));
  await assert.rejects(create(['true'], { HostConfig: { Memory: 1 } }), statusIs(400));
  const container = await start(['/payload', 'pause']);
  await assert.rejects(container.remove(), statusIs(409));
  await assert.rejects(container.unpause(), statusIs(500));
});

test('rename, update, top, changes, list with filters', async () => {
  const container = await start(['sh', '-c', 'echo x >/new; echo ready; exec /payload pause'], {
    name: 'node-old',
    Labels: { of: 'dockerode' },
  });
  await container.rename({ name: 'node-new' });
  assert.strictEqual((await docker.getContainer('node-new').inspect()).Id, container.id);
  await container.update({ Memory: 96 << 20, MemorySwap: 96 << 20 });
  assert.strictEqual((await container.inspect()).HostConfig.Memory, 96 << 20);
  const follow = await container.logs({ follow: true, stdout: true });
  for await (const part of follow) if (part.toString().includes('ready')) break;
  assert.strictEqual((await container.top()).Processes.length, 1);
  assert.ok((await container.changes()).some((change) => change.Path === '/new' && change.Kind === 1));
  const listed = await docker.listContainers({ filters: { label: ['of=dockerode'], status: ['running'] } });
  assert.deepStrictEqual(listed.map((each) => each.Names), [['/node-new']]);
});

test('logs: a buffer, a stream that ends, tail', async () => {
  const container = await start(['/payload', 'both', '3']);
  await container.wait();
  const buffer = await container.logs({ stdout: true, stderr: true });
  assert.deepStrictEqual(frames(buffer), ['out 1\nout 2\nout 3\n', 'err 1\nerr 2\nerr 3\n']);
  assert.deepStrictEqual(frames(await container.logs({ stdout: true, tail: 100 }))[0].split('\n').length, 4);
  const [out] = await split(await container.logs({ stdout: true, follow: true }));
  assert.strictEqual(out, 'out 1\nout 2\nout 3\n');
});

test('attach: half-close of stdin ends the input only', async () => {
  const container = await create(['/payload', 'cat'], { OpenStdin: true, StdinOnce: true, AttachStdin: true });
  const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  const said = split(stream);
  await container.start();
  stream.write('fed by dockerode\n');
  stream.end();
  assert.deepStrictEqual(await said, ['fed by dockerode\n', 'end\n']);
  assert.strictEqual((await container.wait()).StatusCode, 0);
});

test('attach: detach keys end the session only', async () => {
  const container = await start(['sh'], { Tty: true, OpenStdin: true });
  const stream = await container.attach({ stream: true, stdin: true, stdout: true, hijack: true });
  const ended = text(stream);
  stream.write('\x10\x11');
  await ended;
  assert.strictEqual((await container.inspect()).State.Status, 'running');
});

test('exec: output, code, half-close of stdin, resize', async () => {
  const container = await start(['/payload', 'pause']);
  const run = async (options, input) => {
    const exec = await container.exec({ AttachStdout: true, AttachStderr: true, ...options });
    const stream = await exec.start({ hijack: true, stdin: input !== undefined });
    const said = split(stream);
    if (input !== undefined) stream.end(input);
    const streams = await said;
    const state = await exec.inspect();
    assert.strictEqual(state.Running, false, 'running when its stream has ended');
    return [...streams, state.ExitCode];
  };
  assert.deepStrictEqual(await run({ Cmd: ['sh', '-c', 'echo o; echo e >&2; exit 4'] }), ['o\n', 'e\n', 4]);
  assert.deepStrictEqual(await run({ Cmd: ['/payload', 'cat'], AttachStdin: true }, 'to it'), ['to it', 'end\n', 0]);
  assert.deepStrictEqual(
    await run({ Cmd: ['sh', '-c', 'echo $A $(id -u) $(pwd)'], Env: ['A=1'], User: '1000', WorkingDir: '/tmp' }),
    ['1 1000 /tmp\n', '', 0],
  );
  const terminal = await container.exec({
    AttachStdin: true, AttachStdout: true, Tty: true, Cmd: ['sh', '-c', 'read x; /payload winsize'],
  });
  const stream = await terminal.start({ hijack: true, stdin: true, Tty: true });
  await terminal.resize({ h: 33, w: 99 });
  stream.write('\n');
  assert.match(await text(stream), /33 99/);
});

test('thirty execs at once each get their own answer', async () => {
  const container = await start(['/payload', 'pause']);
  const one = async (number) => {
    const exec = await container.exec({ AttachStdout: true, Cmd: ['sh', '-c', `echo ${number}; exit ${number}`] });
    const [out] = await split(await exec.start({}));
    return [out, (await exec.inspect()).ExitCode];
  };
  const answers = await Promise.all(Array.from({ length: 30 }, (_, number) => one(number)));
  assert.deepStrictEqual(answers, Array.from({ length: 30 }, (_, number) => [`${number}\n`, number]));
});

test('stats: once and as a stream', async () => {
  const container = await start(['/payload', 'pause']);
  const once = await container.stats({ stream: false });
  assert.strictEqual(once.pids_stats.current, 1);
  const stream = await container.stats({ stream: true });
  for await (const part of stream) {
    assert.strictEqual(JSON.parse(part).id, container.id);
    break;
  }
});

test('a terminal is raw', async () => {
  const container = await create(['sh', '-c', 'tty; exit 5'], { Tty: true });
  const stream = await container.attach({ stream: true, stdout: true });
  await container.start();
  assert.strictEqual(await text(stream), '/dev/pts/0\r\n');
  assert.strictEqual((await container.wait()).StatusCode, 5);
});

test('prune', async () => {
  const container = await create(['true']);
  assert.deepStrictEqual((await docker.pruneContainers()).ContainersDeleted, [container.id]);
});
