package demo

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
)

// Sector sizes and marks of a compound file's tables, from [MS-CFB] 2.1.
const (
	oleSector     = 512
	oleMiniSector = 64

	oleFree  = 0xffffffff // also: no neighbour in the directory
	oleEnd   = 0xfffffffe // the end of a chain
	oleFATis = 0xfffffffd // a sector of the FAT itself
)

// What an entry of a compound file's directory is.
const (
	oleStorage = 1
	oleStream  = 2
	oleRoot    = 5
)

// oleEntry is one entry of a compound file's directory. Siblings form a binary tree.
type oleEntry struct {
	name               string
	kind               byte
	data               []byte
	left, right, child uint32
}

// outlookMessage is a small .msg file: a compound file whose root carries Outlook's class id and whose streams are the
// properties that [MS-OXMSG] asks of a message: class, subject and body.
func outlookMessage(title string) []byte {
	class, subject, body := utf16le("IPM.Note"), utf16le(title), utf16le(title+"\r\n\r\nSent from the demo portal.\r\n")

	properties := bytes.NewBuffer(make([]byte, 32)) // its header: no recipients, no attachments
	for _, p := range []struct {
		tag  uint32
		size int
	}{{0x001a001f, len(class)}, {0x0037001f, len(subject)}, {0x1000001f, len(body)}} {
		put(properties, p.tag, uint32(6), uint32(p.size+2), uint32(0)) // readable and writable; the size counts a closing zero
	}

	// [MS-CFB] sorts siblings by the length of their names, then by letters: __nameid is the root's first child, the longest
	// name, __properties, hangs on its right, and the three properties on that one's left.
	return compoundFile([]oleEntry{
		{name: "Root Entry", kind: oleRoot, left: oleFree, right: oleFree, child: 1},
		{name: "__nameid_version1.0", kind: oleStorage, left: oleFree, right: 2, child: 6},
		{name: "__properties_version1.0", kind: oleStream, data: properties.Bytes(), left: 3, right: oleFree, child: oleFree},
		{name: "__substg1.0_001A001F", kind: oleStream, data: class, left: oleFree, right: 4, child: oleFree},
		{name: "__substg1.0_0037001F", kind: oleStream, data: subject, left: oleFree, right: 5, child: oleFree},
		{name: "__substg1.0_1000001F", kind: oleStream, data: body, left: oleFree, right: oleFree, child: oleFree},
		// No property has a name of its own, but the three tables of names must be there.
		{name: "__substg1.0_00020102", kind: oleStream, left: oleFree, right: 7, child: oleFree},
		{name: "__substg1.0_00030102", kind: oleStream, left: oleFree, right: 8, child: oleFree},
		{name: "__substg1.0_00040102", kind: oleStream, left: oleFree, right: oleFree, child: oleFree},
	})
}

// compoundFile lays entries out as [MS-CFB] version 3: header, FAT (one sector), directory, mini FAT (one sector), and the mini
// stream with all data. That is enough for streams below 4,096 bytes, which must be in the mini stream, and 8 KB of them.
func compoundFile(entries []oleEntry) []byte {
	var (
		stream  bytes.Buffer
		miniFAT []uint32
		starts  = make([]uint32, len(entries))
	)
	for i, e := range entries {
		if e.kind == oleStream {
			starts[i] = oleEnd
		}
		if len(e.data) > 0 {
			starts[i] = uint32(len(miniFAT))
			stream.Write(padded(e.data, oleMiniSector))
			miniFAT = chain(miniFAT, sectors(len(e.data), oleMiniSector))
		}
	}
	const entrySize = 128
	directory := sectors(len(entries)*entrySize, oleSector)
	miniFATAt := 1 + directory
	streamAt := miniFATAt + 1

	fat := chain([]uint32{oleFATis}, directory)
	fat = chain(fat, 1)
	fat = chain(fat, sectors(stream.Len(), oleSector))

	var b bytes.Buffer
	b.Write([]byte{0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1})
	b.Write(make([]byte, 16))                                              // no class id here
	put(&b, uint16(0x3e), uint16(3), uint16(0xfffe), uint16(9), uint16(6)) // versions, byte order, sector sizes as powers of 2
	b.Write(make([]byte, 10))                                              // reserved
	put(&b, uint32(1), uint32(1), uint32(0), uint32(4096))                 // FAT sectors, directory's start, transaction, mini cut-off
	put(&b, uint32(miniFATAt), uint32(1), uint32(oleEnd), uint32(0))       // mini FAT; the FAT needs no further index
	put(&b, uint32(0))                                                     // the FAT is sector 0
	b.Write(bytes.Repeat([]byte{0xff}, oleSector-b.Len()))                 // and has no other
	putTable(&b, fat)
	for i := range directory * oleSector / entrySize {
		if i >= len(entries) {
			b.Write(make([]byte, 68))
			put(&b, uint32(oleFree), uint32(oleFree), uint32(oleFree))
			b.Write(make([]byte, 48))
			continue
		}
		e, start, size := entries[i], starts[i], len(entries[i].data)
		class := make([]byte, 16)
		if e.kind == oleRoot {
			start, size = uint32(streamAt), stream.Len()
			// {00020D0B-0000-0000-C000-000000000046}: an Outlook message
			class = []byte{0x0b, 0x0d, 0x02, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46}
		}
		name := utf16le(e.name)
		b.Write(padded(name, 64))
		put(&b, uint16(len(name)+2), e.kind, byte(1), e.left, e.right, e.child) // 1: black
		b.Write(class)
		b.Write(make([]byte, 20)) // state, times
		put(&b, start, uint64(size))
	}
	putTable(&b, miniFAT)
	b.Write(padded(stream.Bytes(), oleSector))
	return b.Bytes()
}

// chain adds the FAT entries of a run of n sectors.
func chain(table []uint32, n int) []uint32 {
	for range n - 1 {
		table = append(table, uint32(len(table)+1))
	}
	return append(table, oleEnd)
}

// putTable writes a table that fills one sector.
func putTable(b *bytes.Buffer, table []uint32) {
	put(b, table)
	for range oleSector/4 - len(table) {
		put(b, uint32(oleFree))
	}
}

func sectors(size, sector int) int { return (size + sector - 1) / sector }

// padded fills up to a multiple of size with zeros.
func padded(data []byte, size int) []byte {
	return append(bytes.Clone(data), make([]byte, sectors(len(data), size)*size-len(data))...)
}

func put(b *bytes.Buffer, values ...any) {
	for _, v := range values {
		if err := binary.Write(b, binary.LittleEndian, v); err != nil {
			panic(err) // values of a fixed size, into memory
		}
	}
}

func utf16le(s string) []byte {
	var b bytes.Buffer
	put(&b, utf16.Encode([]rune(s)))
	return b.Bytes()
}
