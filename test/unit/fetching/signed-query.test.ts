import assert from 'node:assert/strict';
import { contentQuery } from '../../../src/handlers/signed-query.js';

const v4 = (prefix: string) =>
  ['Algorithm', 'Credential', 'Date', 'Expires', 'SignedHeaders', 'Signature']
    .map((name) => `${prefix}${name}=x`)
    .join('&');
const OSS = 'x-oss-signature-version=1&x-oss-credential=c&x-oss-date=d&x-oss-expires=9&x-oss-signature=s';
const COS = 'q-sign-algorithm=a&q-ak=b&q-sign-time=c&q-key-time=d&q-header-list=&q-url-param-list=&q-signature=e';

describe('what a query names besides its signature', () => {
  for (const signed of [
    v4('X-Amz-'),
    v4('x-goog-'),
    `${v4('X-Amz-')}&X-Amz-Security-Token=t`,
    OSS,
    COS,
    'AWSAccessKeyId=a&Expires=1&Signature=s',
    'GoogleAccessId=a&Expires=1&Signature=s',
    'OSSAccessKeyId=a&Expires=1&Signature=s',
    'Expires=1&Signature=s&Key-Pair-Id=k',
    'Policy=p&Signature=s&Key-Pair-Id=k',
    'sv=1&sr=b&sig=s&se=e&sp=r&st=t&spr=https&sip=1',
    'sv=1&ss=b&srt=o&sig=s&se=e&sp=r',
    'temp_url_sig=s&temp_url_expires=1',
  ])
    it(`is nothing in ${signed}, and all else beside it`, () => {
      assert.equal(contentQuery(`?${signed}`), '');
      assert.equal(contentQuery(`?v=7&${signed}&snapshot=2`), 'v=7&snapshot=2');
    });
  for (const whole of [
    // The signature alone may name the content.
    'sig=TA',
    'sv=11&sig=x',
    'sr=b&sig=x&se=1',
    'ss=b&sv=1&sig=x',
    'signature=x',
    'Expires=1&Signature=a',
    'policy=p&signature=s',
    'temp_url_sig=x',
    'q-signature=x&q-ak=me',
    'X-Amz-Signature=1',
    v4('X-Amz-').replace('X-Amz-Date=x&', ''),
    'x-oss-signature=s',
    // Of two of a name nothing tells which one counts.
    'sv=1&sr=b&sig=s&sig=t',
    `${v4('X-Amz-')}&X-Amz-Signature=y`,
    // In two ways at once.
    `${v4('X-Amz-')}&${v4('X-Goog-')}`,
    'sp=1&st=a',
    '',
  ])
    it(`is all of ${whole}`, () => {
      assert.equal(contentQuery(`?${whole}`), whole);
    });
  it('is what a store makes of the content, beside a signature too', () => {
    for (const made of ['x-oss-process=image/resize', 'response-content-type=x', 'x-amz-version-id=2', 'versionId=3'])
      for (const signed of [OSS, v4('X-Amz-'), 'OSSAccessKeyId=a&Expires=1&Signature=s'])
        assert.equal(contentQuery(`?${signed}&${made}`), made);
  });
});
