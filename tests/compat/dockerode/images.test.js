'use strict';
const { assert, create, docker, image, start, statusIs, test, text } = require('./support');
const { Readable } = require('node:stream');

async function bytes(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

async function progress(stream) {
  return new Promise((resolve, reject) =>
    docker.modem.followProgress(stream, (error, messages) => (error ? reject(error) : resolve(messages))));
}

test('list, inspect, history', async () => {
  assert.ok((await docker.listImages()).some((each) => each.RepoTags.includes(image)));
  const seen = await docker.getImage('payload').inspect();
  assert.match(seen.Id, /^sha256:[0-9a-f]{64}$/);
  assert.strictEqual((await docker.getImage('payload').history()).length, 1);
  await assert.rejects(docker.getImage('nosuch').inspect(), statusIs(404));
});

test('tag, save, remove, load', async () => {
  await docker.getImage('payload').tag({ repo: 'node-tag', tag: 'v1' });
  const saved = await bytes(await docker.getImage('node-tag:v1').get());
  await docker.getImage('node-tag:v1').remove();
  await assert.rejects(docker.getImage('node-tag:v1').inspect(), statusIs(404));
  const messages = await progress(await docker.loadImage(Readable.from(saved)));
  assert.match(messages.map((each) => each.stream).join(''), /Loaded image: node-tag:v1/);
  await docker.getImage('node-tag:v1').remove();
});

test('commit and export', async () => {
  const container = await start(['sh', '-c', 'echo made > /made']);
  await container.wait();
  const made = await container.commit({ repo: 'node-commit', tag: '1', changes: 'ENV A=b' });
  assert.match(made.Id, /^sha256:/);
  assert.ok((await docker.getImage('node-commit:1').inspect()).Config.Env.includes('A=b'));
  await docker.getImage('node-commit:1').remove();
  assert.ok((await bytes(await container.export())).includes('made\n'));
});

test('a pull that fails says so in its stream or before', async () => {
  await assert.rejects(async () => progress(await docker.pull('127.0.0.1:1/nothing:1')), /127\.0\.0\.1:1/);
});

test('an image in use is a conflict', async () => {
  await create(['true']);
  await assert.rejects(docker.getImage(image).remove(), statusIs(409));
});

test('volumes', async () => {
  await docker.createVolume({ Name: 'node-volume', Labels: { a: 'b' } });
  const listed = await docker.listVolumes({ filters: { label: ['a=b'] } });
  assert.deepStrictEqual(listed.Volumes.map((each) => each.Name), ['node-volume']);
  const container = await start(['sh', '-c', 'echo kept > /data/file'], {
    HostConfig: { Binds: ['node-volume:/data'] },
  });
  await container.wait();
  await assert.rejects(docker.getVolume('node-volume').remove(), statusIs(409));
  await container.remove();
  await docker.getVolume('node-volume').remove();
  await assert.rejects(docker.getVolume('node-volume').inspect(), statusIs(404));
});

test('ping, version, info, networks', async () => {
  assert.strictEqual((await docker.ping()).toString(), 'OK');
  assert.strictEqual((await docker.version()).Os, 'linux');
  assert.strictEqual((await docker.info()).Driver, 'overlay2');
  assert.ok((await docker.listNetworks()).some((each) => each.Name === 'bridge'));
  assert.strictEqual((await docker.getNetwork('none').inspect()).Driver, 'null');
});

test('events tell a life and end at until', async () => {
  const since = Math.floor(Date.now() / 1000);
  const container = await start(['/payload', 'exit', '6']);
  await container.wait();
  await container.remove();
  const until = Math.floor(Date.now() / 1000) + 1;
  const told = (await text(await docker.getEvents({ since, until, filters: { container: [container.id] } })))
    .trim().split('\n').map((line) => JSON.parse(line)).filter((event) => event.Type === 'container');
  assert.deepStrictEqual(told.map((event) => event.Action), ['create', 'start', 'die', 'destroy']);
});
