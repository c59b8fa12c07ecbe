package sheet

import (
	"bytes"
	"hash/maphash"
)

// seen remembers on which line each PO was accepted first. It is exact: the hash only says where to look, and the whole number
// is compared. A million POs take some 32 MB at the worst moment, while the table doubles: 8 bytes a slot, at most two thirds
// full, and each number's own bytes once, without a header of its own. A Go map of strings would take three times as much.
type seen struct {
	seed  maphash.Seed
	slots []slot
	count int
	text  [][]byte // blocks of numbers: one length byte, then that many bytes
}

// slot is one place of the hash table. A line of 0 means that it is free.
type slot struct {
	at   uint32 // where in text the number stands
	line uint32
}

const blockBytes = 1 << 18

func newSeen() *seen {
	return &seen{seed: maphash.MakeSeed(), slots: make([]slot, 1<<10)}
}

// add notes that the number stands on the line, and returns the line on which it stood before, or 0. The same PO is known with
// and without its PO prefix, since both lead to one page; PM numbers are a series of their own.
func (s *seen) add(number string, line int) int {
	key := []byte(number)
	if isPlainNumber(key) {
		key = bytes.TrimPrefix(key, []byte("PO"))
	}
	at := s.find(key)
	if before := s.slots[at].line; before != 0 {
		return int(before)
	}
	s.slots[at] = slot{at: s.keep(key), line: uint32(line)}
	if s.count++; s.count*3 > len(s.slots)*2 {
		s.grow()
	}
	return 0
}

// find is the slot that holds the key, or the free one where it belongs.
func (s *seen) find(key []byte) int {
	mask := len(s.slots) - 1
	at := int(maphash.Bytes(s.seed, key)) & mask
	for s.slots[at].line != 0 && !bytes.Equal(s.key(s.slots[at]), key) {
		at = (at + 1) & mask
	}
	return at
}

func (s *seen) key(of slot) []byte {
	block := s.text[of.at/blockBytes]
	at := of.at % blockBytes
	return block[at+1 : at+1+uint32(block[at])]
}

// keep copies the key to the end of the text and returns its place.
func (s *seen) keep(key []byte) uint32 {
	last := len(s.text) - 1
	if last < 0 || len(s.text[last])+1+len(key) > blockBytes {
		s.text = append(s.text, make([]byte, 0, blockBytes))
		last++
	}
	at := last*blockBytes + len(s.text[last])
	s.text[last] = append(append(s.text[last], byte(len(key))), key...)
	return uint32(at)
}

func (s *seen) grow() {
	old := s.slots
	s.slots = make([]slot, 2*len(old))
	for _, sl := range old {
		if sl.line != 0 {
			s.slots[s.find(s.key(sl))] = sl
		}
	}
}
