// Verifies a published log with the packages that the Go toolchain itself uses for its checksum database:
// golang.org/x/mod/sumdb/note opens the checkpoint, golang.org/x/mod/sumdb/tlog makes proofs from the tiles.
//
//	sumdb_verify FOLDER VKEY...
//	sumdb_verify -proof PROOF ENTRY VKEY...
//
// The second form checks a proof of one entry (c2sp.org/tlog-proof) with nothing else at hand. The first key is the log's, the others are cosigners' (type 4, which package note leaves to its callers).
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height     = 8
	width      = 1 << height
	cosigner   = 4
	proofsEach = 97
)

type cosignerKey struct {
	name   string
	hash   uint32
	public ed25519.PublicKey
}

func (k cosignerKey) Name() string    { return k.name }
func (k cosignerKey) KeyHash() uint32 { return k.hash }

func (k cosignerKey) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	time := binary.BigEndian.Uint64(signature)
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", time, text)
	return ed25519.Verify(k.public, []byte(message), signature[8:])
}

func newCosigner(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("malformed verifier key")
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != cosigner {
		return nil, errors.New("not a cosigner's key")
	}
	digest := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	hash := binary.BigEndian.Uint32(digest[:])
	if fmt.Sprintf("%08x", hash) != parts[1] {
		return nil, errors.New("wrong key id")
	}
	return cosignerKey{parts[0], hash, key[1:]}, nil
}

type folder string

func (f folder) Height() int                         { return height }
func (f folder) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (f folder) file(parts ...string) ([]byte, error) {
	return os.ReadFile(filepath.Join(append([]string{string(f)}, parts...)...))
}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var contents [][]byte
	for _, tile := range tiles {
		data, err := f.file("tile", strings.TrimPrefix(tile.Path(), "tile/8/"))
		if err != nil {
			return nil, err
		}
		contents = append(contents, data)
	}
	return contents, nil
}

func (f folder) entry(index, size int64) ([]byte, error) {
	w := int64(width)
	if index/width == size/width {
		w = size % width
	}
	tile := tlog.Tile{H: height, L: 0, N: index / width, W: int(w)}
	bundle, err := f.file("tile", "entries", strings.TrimPrefix(tile.Path(), "tile/8/0/"))
	if err != nil {
		return nil, err
	}
	var entry []byte
	for i := int64(0); i <= index%width; i++ {
		if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
			return nil, errors.New("entry bundle ends inside an entry")
		}
		end := 2 + int(binary.BigEndian.Uint16(bundle))
		entry, bundle = bundle[2:end], bundle[end:]
	}
	return entry, nil
}

func verifiers(vkeys []string) (note.Verifiers, error) {
	var verifiers []note.Verifier
	for i, vkey := range vkeys {
		parse := newCosigner
		if i == 0 {
			parse = note.NewVerifier
		}
		verifier, err := parse(vkey)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		verifiers = append(verifiers, verifier)
	}
	return note.VerifierList(verifiers...), nil
}

func open(data []byte, vkeys []string) (opened *note.Note, size int64, root tlog.Hash, err error) {
	known, err := verifiers(vkeys)
	if err != nil {
		return nil, 0, root, err
	}
	opened, err = note.Open(data, known)
	if err != nil {
		return nil, 0, root, err
	}
	lines := strings.Split(opened.Text, "\n")
	if _, err = fmt.Sscan(lines[1], &size); err != nil {
		return nil, 0, root, err
	}
	root, err = tlog.ParseHash(lines[2])
	return opened, size, root, err
}

func verifyProof(path, entryPath string, vkeys []string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	entry, err := os.ReadFile(entryPath)
	if err != nil {
		return err
	}
	head, checkpoint, found := strings.Cut(string(data), "\n\n")
	lines := strings.Split(head, "\n")
	var index int64
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("malformed proof")
	}
	if _, err := fmt.Sscanf(lines[1], "index %d", &index); err != nil {
		return err
	}
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	opened, size, root, err := open([]byte(checkpoint), vkeys)
	if err != nil {
		return err
	}
	if err := tlog.CheckRecord(proof, size, root, index, tlog.RecordHash(entry)); err != nil {
		return err
	}
	fmt.Printf("entry %d of %d signatures %d unknown %d\n", index, size, len(opened.Sigs), len(opened.UnverifiedSigs))
	return nil
}

func verify(f folder, vkeys []string) error {
	data, err := f.file("checkpoint")
	if err != nil {
		return err
	}
	opened, size, root, err := open(data, vkeys)
	if err != nil {
		return err
	}
	inclusion, consistency, err := prove(f, size, root)
	if err != nil {
		return err
	}
	fmt.Printf("size %d signatures %d unknown %d inclusion %d consistency %d\n",
		size, len(opened.Sigs), len(opened.UnverifiedSigs), inclusion, consistency)
	return nil
}

func prove(f folder, size int64, root tlog.Hash) (inclusion, consistency int, err error) {
	reader := tlog.TileHashReader(tlog.Tree{N: size, Hash: root}, f)
	step := size/proofsEach + 1
	for index := int64(0); index < size; index += step {
		entry, err := f.entry(index, size)
		if err != nil {
			return 0, 0, err
		}
		proof, err := tlog.ProveRecord(size, index, reader)
		if err != nil {
			return 0, 0, err
		}
		if err := tlog.CheckRecord(proof, size, root, index, tlog.RecordHash(entry)); err != nil {
			return 0, 0, fmt.Errorf("entry %d: %w", index, err)
		}
		inclusion++
	}
	for old := int64(1); old <= size; old += step {
		hash, err := tlog.TreeHash(old, reader)
		if err != nil {
			return 0, 0, err
		}
		proof, err := tlog.ProveTree(size, old, reader)
		if err != nil {
			return 0, 0, err
		}
		if err := tlog.CheckTree(proof, size, root, old, hash); err != nil {
			return 0, 0, fmt.Errorf("size %d: %w", old, err)
		}
		consistency++
	}
	return inclusion, consistency, nil
}

func main() {
	err := errors.New("see the first lines of this file for the arguments")
	if len(os.Args) > 4 && os.Args[1] == "-proof" {
		err = verifyProof(os.Args[2], os.Args[3], os.Args[4:])
	} else if len(os.Args) > 2 {
		err = verify(folder(os.Args[1]), os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
