package artifact

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline/model"
)

// MaxMemberValues bounds the parameters of all members of a version: 256 MiB.
const MaxMemberValues = 1 << 26

// memberViews names the parameters of members of a model, one member after the other.
func memberViews(m *model.Model, members int) (views []model.View) {
	for k := range members {
		for _, v := range m.Views() {
			v.Name, v.Offset = fmt.Sprintf("member.%d.%s", k, v.Name), k*m.Size()+v.Offset
			views = append(views, v)
		}
	}
	return views
}

// SetMembers takes the parameters of members, one after the other.
func (a *Artifact) SetMembers(members []float32) {
	a.Members = members
	a.Provenance.Members = sum(a.encodeMembers())
}

func (a *Artifact) encodeMembers() []byte {
	return model.EncodeTensors(a.metadata(), memberViews(a.Model, len(a.Members)/a.Model.Size()), a.Members)
}

func (a *Artifact) decodeMembers(data []byte) (err error) {
	n := a.Spec.Members()
	if n == 0 {
		return fmt.Errorf("the spec asks for none")
	}
	if a.Model.Size() > MaxMemberValues/n {
		return fmt.Errorf("%d members of %d parameters are more than %d", n, a.Model.Size(), MaxMemberValues)
	}
	if a.Members, err = model.DecodeTensors(memberViews(a.Model, n), data); err != nil {
		return err
	}
	a.memberHash = sum(data)
	return a.checkMembers()
}

// member returns the parameters of one.
func (a *Artifact) member(k int) []float32 {
	return a.Members[k*a.Model.Size() : (k+1)*a.Model.Size()]
}

// checkMembers reports parameters that are not the model's or not finite.
func (a *Artifact) checkMembers() error {
	if n := a.Spec.Members(); len(a.Members) != n*a.Model.Size() {
		return fmt.Errorf("%d parameters, %d members of the model have %d", len(a.Members), n, n*a.Model.Size())
	}
	for k := range a.Spec.Members() {
		one := *a
		one.Params = a.member(k)
		if err := one.check(); err != nil {
			return fmt.Errorf("member %d: %w", k, err)
		}
	}
	return nil
}
