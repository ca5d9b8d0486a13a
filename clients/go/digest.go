package hostler

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"
)

// blockAlgorithm is the digest of uploads and downloads: sha256 over the sha256 of each block, the
// last one as long as it is. DigestImage computes the same.
const (
	blockAlgorithm = "sha256-4m-blocks"
	blockBytes     = 4 << 20
)

var zeroBlock = make([]byte, blockBytes)

var zeroBlockDigest = sync.OnceValue(func() [sha256.Size]byte { return sha256.Sum256(zeroBlock) })

// blockDigests are the digests of the blocks of a file as its bytes come by, from the first on. A
// transfer that is resumed keeps those of the blocks before.
type blockDigests struct {
	whole  []byte // one behind the other
	open   hash.Hash
	filled int64
}

// length is how many bytes the whole blocks have.
func (d *blockDigests) length() int64 { return int64(len(d.whole)/sha256.Size) * blockBytes }

// cut forgets all bytes from position on, which is the beginning of a block.
func (d *blockDigests) cut(position int64) {
	d.whole = d.whole[:position/blockBytes*sha256.Size]
	d.open, d.filled = nil, 0
}

func (d *blockDigests) write(bytes []byte) {
	for len(bytes) > 0 {
		if d.open == nil {
			d.open = sha256.New()
		}
		piece := bytes[:min(int64(len(bytes)), blockBytes-d.filled)]
		d.open.Write(piece)
		d.filled += int64(len(piece))
		bytes = bytes[len(piece):]
		if d.filled == blockBytes {
			d.whole = d.open.Sum(d.whole)
			d.open, d.filled = nil, 0
		}
	}
}

// zeros are so many bytes of zeros; whole blocks of them cost nothing.
func (d *blockDigests) zeros(count int64) {
	for count > 0 {
		if d.filled == 0 && count >= blockBytes {
			zero := zeroBlockDigest()
			d.whole = append(d.whole, zero[:]...)
			count -= blockBytes
			continue
		}
		piece := min(count, blockBytes-d.filled)
		d.write(zeroBlock[:piece])
		count -= piece
	}
}

// digest is that of all bytes from position on, which is the beginning of a block.
func (d *blockDigests) digest(position int64) string {
	all := sha256.New()
	all.Write(d.whole[position/blockBytes*sha256.Size:])
	if d.open != nil {
		all.Write(d.open.Sum(nil))
	}
	return hex.EncodeToString(all.Sum(nil))
}
