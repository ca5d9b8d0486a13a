"""A scheduler on another machine, which has no shell here: it lays out instances, boots them from
overlays, follows the host by WatchImages, and removes every second one. It repeats calls by the
rules of docs/guide/retries.md and keeps a picture of the host by changes alone. At the end it
prints what it has seen as JSON.

scheduler.py ADDRESS ROOT INSTANCES; the root is empty.
"""
import collections
import json
import queue
import sys
import threading
import time
import uuid

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

ADDRESS, ROOT, INSTANCES = sys.argv[1], sys.argv[2], int(sys.argv[3])
BASE = f'{ROOT}/base.qcow2'
WORKERS = 4
AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.RESOURCE_EXHAUSTED)
SERVICES = {
    'CreateDirectory': 'FileService', 'RemoveDirectory': 'FileService', 'CreateImage': 'ImageService',
    'CreateOverlay': 'ImageService', 'BatchGetImageInfo': 'ImageService', 'ListImages': 'ImageService',
    'WatchImages': 'ImageService',
}


class Host:
    """The daemon, by reflection. Its calls fail with grpc.RpcError."""

    def __init__(self):
        backoff = [('grpc.initial_reconnect_backoff_ms', 50), ('grpc.max_reconnect_backoff_ms', 200)]
        self.channel = grpc.insecure_channel(ADDRESS, options=backoff)
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self.methods = {}
        for name, service in SERVICES.items():
            method = pool.FindServiceByName(f'hostler.v1.{service}').FindMethodByName(name)
            answer = message_factory.GetMessageClass(method.output_type)
            kind = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
            rpc = kind(f'/hostler.v1.{service}/{name}',
                       request_serializer=lambda message: message.SerializeToString(),
                       response_deserializer=answer.FromString)
            self.methods[name] = (message_factory.GetMessageClass(method.input_type), rpc)

    def call(self, name, **fields):
        request, rpc = self.methods[name]
        return rpc(request(**fields))

    def read(self, name, **fields):
        """All answers of a call that changes nothing, and so can always be made again."""
        while True:
            try:
                answers = self.call(name, **fields)
                return list(answers) if hasattr(answers, '__next__') else [answers]
            except grpc.RpcError as error:
                wait_after(error)

    def change(self, name, **fields):
        """One change, however often it takes a call: the request id stays the same."""
        fields['request_id'] = str(uuid.uuid4())
        return self.read(name, **fields)[-1]


def wait_after(error):
    if error.code() not in AGAIN:
        raise error
    time.sleep(0.05)


def known(image):
    """What tells one change of an image from another; the rest belongs to the moment."""
    return (image.path, image.format, image.virtual_size_bytes, image.file_length_bytes, image.backing_file,
            image.modify_time.seconds, image.modify_time.nanos)


class Picture:
    """The images of the host: those of one list, and then the changes since."""

    def __init__(self, host):
        self.host, self.images, self.generation = host, {}, ''
        self.changed = threading.Condition()
        self.created, self.removed = collections.Counter(), collections.Counter()
        self.lists, self.watches, self.ended, self.wrong = 0, 0, False, []

    def list(self):
        """Page by page; anew where a restart came between two pages."""
        images, token = {}, ''
        while True:
            try:
                [page] = self.host.read('ListImages', path=ROOT, page_size=50, page_token=token)
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.FAILED_PRECONDITION or token == '':
                    raise
                images, token = {}, ''
                continue
            images.update((image.path, known(image)) for image in page.images)
            token = page.next_page_token
            if token == '':
                return images, page.generation

    def begin(self):
        self.images, self.generation = self.list()
        self.created.update(self.images)
        self.lists += 1

    def follow(self):
        """Watches again from the last generation, whenever the connection has gone."""
        while not self.ended:
            try:
                self.watches += 1
                for answer in self.host.call('WatchImages', path=ROOT, generation=self.generation):
                    with self.changed:
                        for change in answer.changes:
                            self.apply(change)
                        self.generation = answer.generation
                        self.changed.notify_all()
            except grpc.RpcError as error:
                if error.code() not in AGAIN:
                    self.wrong.append(f'the watch ended: {error.details()}')
                    return
                time.sleep(0.05)

    def apply(self, change):
        before, path = self.images.get(change.path), change.path
        if change.kind == 3:
            self.removed[path] += 1
            if self.images.pop(path, None) is None:
                self.wrong.append(f'{path} was removed, and was not there')
            return
        if change.kind == 1:
            self.created[path] += 1
        elif before is None:
            self.wrong.append(f'{path} has changed, and was not there')
        if before == known(change.image):
            self.wrong.append(f'{path}: the same change came twice')
        self.images[path] = known(change.image)

    def wait(self, condition, what):
        with self.changed:
            if not self.changed.wait_for(lambda: condition() or self.wrong, timeout=60):
                self.wrong.append(f'nothing was heard of: {what}')


def run(host, picture, number):
    """The life of one instance; every second one goes again."""
    folder = f'{ROOT}/instances/{uuid.UUID(int=number)}'
    disk = f'{folder}/disk'
    host.change('CreateDirectory', path=folder, parents=True)
    print('step', flush=True)
    host.change('CreateOverlay', path=disk, backing_file=BASE, backing_format='qcow2', labels={'instance': str(number)})
    print('step', flush=True)
    picture.wait(lambda: disk in picture.images, f'the creation of {disk}')
    for answer in host.read('BatchGetImageInfo', paths=[disk, BASE]):
        for result in answer.results:
            if result.HasField('error'):
                picture.wrong.append(f'{disk}: {result.error.message}')
    if number % 2 == 0:
        return disk
    host.change('RemoveDirectory', path=folder, recursive=True)
    print('step', flush=True)
    picture.wait(lambda: disk not in picture.images, f'the removal of {disk}')
    return None


def main():
    host = Host()
    picture = Picture(host)
    picture.begin()
    watcher = threading.Thread(target=picture.follow, daemon=True)
    watcher.start()
    host.change('CreateImage', path=BASE, format='qcow2', size='64M')
    numbers, kept = queue.SimpleQueue(), [BASE]
    for number in range(INSTANCES):
        numbers.put(number)

    def work():
        while not picture.wrong:
            try:
                number = numbers.get_nowait()
            except queue.Empty:
                return
            try:
                disk = run(host, picture, number)
            except Exception as error:  # the program ends with what it has seen
                picture.wrong.append(f'instance {number}: {error!r}')
                return
            if disk is not None:
                kept.append(disk)

    workers = [threading.Thread(target=work) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    listed, generation = picture.list()
    number = int(generation.split('.')[1])
    picture.wait(lambda: int(picture.generation.split('.')[1]) >= number, f'generation {generation}')
    picture.ended = True
    print(json.dumps({
        'kept': sorted(kept), 'listed': sorted(listed), 'picture': sorted(picture.images), 'wrong': picture.wrong,
        'same': listed == picture.images, 'lists': picture.lists, 'watches': picture.watches,
        'created': picture.created, 'removed': picture.removed,
    }), flush=True)


main()
