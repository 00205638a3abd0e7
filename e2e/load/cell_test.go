package load

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNamesOfCellsAreUniqueAndChooseThem(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Matrix() {
		require.False(t, seen[c.Name()], "%s is there twice", c.Name())
		seen[c.Name()] = true
		got, err := Choose(Matrix(), "^"+c.Name()+"$")
		require.NoError(t, err)
		require.Equal(t, []Cell{c}, got)
	}
	require.Len(t, seen, 4*3*2+3+1)
}

func TestQuickIsAPartOfTheMatrix(t *testing.T) {
	require.Subset(t, Matrix(), Quick())
}

func TestSmallRequestsComeBeforeLongOnes(t *testing.T) {
	long := false
	for _, c := range Matrix() {
		require.False(t, long && c.Body <= 1<<10, "%s comes after a long one, whose memory it would be charged with", c.Name())
		long = long || c.Body > 1<<10
	}
}

func TestCellsOfAGroupAreTogether(t *testing.T) {
	last, over := "", map[string]bool{}
	for _, c := range Matrix() {
		if c.Group() != last {
			require.False(t, over[c.Group()], "%s would have two tables", c.Group())
			over[last], last = true, c.Group()
		}
	}
}

func TestAWrongPatternNamesTheFlag(t *testing.T) {
	_, err := Choose(Matrix(), "(")
	require.ErrorContains(t, err, "-cells")
	_, err = Choose(Matrix(), "post-7m")
	require.ErrorContains(t, err, "no cell matches")
	_, err = ChooseHops("(")
	require.ErrorContains(t, err, "-hops")
}

func TestWhatAllAreComparedWithIsAlwaysChosen(t *testing.T) {
	hops, err := ChooseHops("^agent$")
	require.NoError(t, err)
	require.Equal(t, []Hop{Direct, GoProxy, Agent}, hops)
}
