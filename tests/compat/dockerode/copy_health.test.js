'use strict';
// docker cp, health, disk use, update, and events for a client that comes back.
const { assert, create, docker, start, statusIs, test, text } = require('./support');
const { execFileSync } = require('node:child_process');
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

const second = 1e9;

/** A tar of files by name. */
function tarOf(files) {
  const directory = mkdtempSync(join(tmpdir(), 'dockerode-'));
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content);
    return execFileSync('tar', ['-C', directory, '-c', ...Object.keys(files)]);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function fileOf(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return execFileSync('tar', ['-xO'], { input: Buffer.concat(parts) }).toString();
}

async function eventually(condition) {
  for (const deadline = Date.now() + 60000; !(await condition()); ) {
    assert.ok(Date.now() < deadline, 'never came true');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('cp: both ways, in every state', async () => {
  const container = await create(['/payload', 'pause']);
  const bothWays = async (name) => {
    await container.putArchive(tarOf({ [name]: `content of ${name}` }), { path: '/tmp' });
    assert.strictEqual(await fileOf(await container.getArchive({ path: `/tmp/${name}` })), `content of ${name}`);
    const head = await container.infoArchive({ path: `/tmp/${name}` });
    head.resume(); // its connection is free again
    const stat = JSON.parse(Buffer.from(head.headers['x-docker-container-path-stat'], 'base64'));
    assert.deepStrictEqual([stat.name, stat.size], [name, `content of ${name}`.length]);
  };
  await bothWays('created');
  await container.start();
  await bothWays('running');
  await container.pause();
  await bothWays('paused');
  await container.unpause();
  await container.kill();
  await container.wait();
  await bothWays('exited');
  await assert.rejects(container.getArchive({ path: '/no/such' }), statusIs(404));
  await assert.rejects(container.putArchive(tarOf({ a: '' }), { path: '/no/such' }), statusIs(404));
});

test('health: healthy, and unhealthy when the probe fails', async () => {
  const container = await start(['/payload', 'pause'], {
    Healthcheck: { Test: ['CMD', 'sh', '-c', 'echo probed; [ ! -e /broken ]'], Interval: second / 10, Retries: 1 },
  });
  const health = async () => (await container.inspect()).State.Health;
  await eventually(async () => (await health()).Status === 'healthy');
  assert.strictEqual((await health()).Log[0].Output, 'probed\n');
  const exec = await container.exec({ Cmd: ['touch', '/broken'], AttachStdout: true });
  await text(await exec.start({}));
  await eventually(async () => (await health()).Status === 'unhealthy');
  const listed = await docker.listContainers({ filters: { health: ['unhealthy'] } });
  assert.deepStrictEqual(listed.map((each) => each.Id), [container.id]);
});

test('df counts what was written', async () => {
  await docker.createVolume({ Name: 'node-df' });
  const container = await start(
    ['sh', '-c', 'head -c 4321 /dev/zero > /made; head -c 1234 /dev/zero > /data/made'],
    { HostConfig: { Binds: ['node-df:/data'] } },
  );
  await container.wait();
  const usage = await docker.df();
  assert.deepStrictEqual(usage.Containers.map((each) => [each.Id, each.SizeRw]), [[container.id, 4321]]);
  const volume = usage.Volumes.find((each) => each.Name === 'node-df');
  assert.deepStrictEqual(volume.UsageData, { RefCount: 1, Size: 1234 });
  assert.strictEqual(usage.LayersSize, usage.Images.reduce((sum, each) => sum + each.Size, 0));
  await container.remove();
  await docker.getVolume('node-df').remove();
});

test('update: the running container reads its new limit', async () => {
  const container = await start(['/payload', 'pause'], { HostConfig: { Memory: 64 << 20, MemorySwap: 64 << 20 } });
  await container.update({ Memory: 96 << 20, MemorySwap: 96 << 20, RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 } });
  const exec = await container.exec({
    Cmd: ['sh', '-c', 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes 2>/dev/null || cat memory.max'],
    AttachStdout: true,
    Tty: true,
  });
  assert.strictEqual((await text(await exec.start({ Tty: true }))).trim(), String(96 << 20));
  assert.strictEqual((await container.inspect()).HostConfig.RestartPolicy.MaximumRetryCount, 2);
});

test('prune: images and volumes', async () => {
  await docker.getImage('payload').tag({ repo: 'node-prune', tag: '1' });
  const container = await create(['true'], { Labels: { of: 'prune' } });
  const made = await container.commit({ repo: 'node-dangling', tag: '1', changes: 'LABEL only=this' });
  await container.commit({ repo: 'node-dangling', tag: '1', changes: 'LABEL only=that' });
  const pruned = await docker.pruneImages({ filters: { dangling: ['true'] } });
  assert.deepStrictEqual(pruned.ImagesDeleted.map((each) => each.Deleted).filter(Boolean).includes(made.Id), true);
  await docker.createVolume({ Name: 'node-prune', Labels: { of: 'prune' } });
  assert.deepStrictEqual((await docker.pruneVolumes({ filters: { all: ['true'], label: ['of=prune'] } })).VolumesDeleted, [
    'node-prune',
  ]);
  await docker.getImage('node-dangling:1').remove();
  await docker.getImage('node-prune:1').remove();
});

test('events: a client that comes back sees each one once', async () => {
  const names = Array.from({ length: 9 }, (_, number) => `node-again-${number}`);
  const filters = { type: ['container'], event: ['create'], label: ['of=again'] };
  let since = `${Math.floor(Date.now() / 1000) - 1}.000000000`;
  const seen = [];
  const making = (async () => {
    for (const name of names) await create(['true'], { name, Labels: { of: 'again' } });
  })();
  while (seen.length < names.length) {
    const stream = await docker.getEvents({ since, filters });
    let left = 3; // then the connection is lost
    let pending = '';
    for await (const part of stream) {
      pending += part;
      const lines = pending.split('\n');
      pending = lines.pop();
      for (const line of lines) {
        if (left === 0) break;
        left -= 1;
        seen.push(JSON.parse(line).Actor.Attributes.name);
        const [, nanoseconds] = line.match(/"timeNano":(\d+)/); // more than a number of JavaScript holds
        const next = BigInt(nanoseconds) + 1n;
        since = `${next / 1000000000n}.${String(next % 1000000000n).padStart(9, '0')}`;
      }
      if (left === 0) break;
    }
    stream.destroy();
  }
  await making;
  assert.deepStrictEqual(seen, names);
});
